"""What users do with their tasks, and the ports that this needs. Imports the domain only."""
