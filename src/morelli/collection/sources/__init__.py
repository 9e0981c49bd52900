"""Sources: one function a layout, each giving a table of works."""
