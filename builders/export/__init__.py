"""A trained ranker becomes an ONNX graph, checked against PyTorch."""
