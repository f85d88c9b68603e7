# Whether the hub's access token is there, whose it is and who may read it; never the token.
