"""The `minicontainer` command: `main` decides the way, `run` is the quick one, `app` knows all others."""
