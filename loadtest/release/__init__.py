"""A release on trial: watched window by window, judged, and taken back by itself."""
