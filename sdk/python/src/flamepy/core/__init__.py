"""The client and the service side, by the names of the published package."""
