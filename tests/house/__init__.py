"""What belongs to no room: the public names, pages, imports, start and platforms."""
