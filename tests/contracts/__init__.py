"""What every repository keeps: one suite, run on each adapter."""
