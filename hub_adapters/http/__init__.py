"""Downloads over HTTP: bounded in size and time, resumable, cached, and limited in rate."""
