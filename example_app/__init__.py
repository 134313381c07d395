"""A demo of arq-status: index a directory of Python source in an arq job and watch it."""
