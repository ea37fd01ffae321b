"""Several replicas of the application behind one address."""
