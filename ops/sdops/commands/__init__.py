"""The commands of the command line, one a file: options in, result out. No logic here."""
