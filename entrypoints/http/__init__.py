"""HTTP: two contracts, one core. Everything outside is parsed here; inside only valid values travel."""
