"""A page of pictures on which a person judges recommendations."""
