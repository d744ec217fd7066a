"""The steps from an empty database to this code's schema, in order, each with its way back."""
