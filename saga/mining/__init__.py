"""Choice of image pairs."""
