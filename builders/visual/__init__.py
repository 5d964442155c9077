"""Pictures of items: found or drawn, preprocessed, encoded, indexed."""
