"""The page and the API: one server, `server.WebServer`, on what `ports.Ports` hands it."""
