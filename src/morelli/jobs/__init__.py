"""One function a command; the command line, the web app and a person's script call the same ones."""
