"""The contract of each family of components, for our tests and for a plugin's."""
