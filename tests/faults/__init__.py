"""What becomes of calls when the database, or the way to it, does not do its part."""
