"""What ships: everything in this folder goes into the zip byte for byte; it imports numpy and the framework only."""
