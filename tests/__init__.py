"""What the product promises, each promise as a sentence that can turn out false."""
