"""The product as it is deployed: installed for production, several processes behind nginx, restarted under load."""
