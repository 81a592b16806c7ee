"""Azure Resource Manager, the sign-in service and the metadata services, emulated."""
