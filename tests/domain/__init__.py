"""The domain rules, mostly as properties."""
