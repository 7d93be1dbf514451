"""One thin file per subcommand: options in, a request, the domain function, an outcome."""
