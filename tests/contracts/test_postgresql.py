def test_digests_of_earlier_releases_stay_valid() -> None:
    """A retry that spans an upgrade is recognised by the digest that the previous release stored."""
    assert _digest(MILK) == blake2b(b'["Buy milk","Two litres",false]', digest_size=16).hexdigest()
