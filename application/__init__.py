"""What users do with their tasks, and what that needs from the outside. Imports the domain only."""
