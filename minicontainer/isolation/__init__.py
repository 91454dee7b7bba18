"""The walls, one module each. `ORDER` (in `minicontainer.isolation.order`) says which goes up when."""
