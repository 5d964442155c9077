"""TensorRT engines: built offline by ``builders.export``, built again at start where one is unfit.

The core lives here and not in ``builders``, because the container that serves has no builders.
"""
