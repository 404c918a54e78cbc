"""What keeps the workers running: which portals they serve, and following the files. It calls no portal itself."""
