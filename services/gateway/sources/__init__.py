"""Files that arrive by themselves, on SFTP servers and in watched directories, become runs."""
