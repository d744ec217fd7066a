"""What a request costs, beside other servers that do the same on the same database in the same run."""
