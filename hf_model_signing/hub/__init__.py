"""Push, pull and fetch: signing meets a hub adapter."""
