VERSION = "stand-in of the oplog project's tests"
