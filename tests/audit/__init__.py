"""Known vulnerabilities, licences and workflows: `make audit` installs the tools and runs this."""
