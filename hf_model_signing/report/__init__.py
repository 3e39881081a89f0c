"""Reports of many repositories: what each format shares, and one file for each format."""
