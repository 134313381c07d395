"""The client side: queries, lists, follows and controls jobs."""
