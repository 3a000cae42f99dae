"""The subcommands of the headless door, a file for each group of them; engine/__main__.py puts them together."""
