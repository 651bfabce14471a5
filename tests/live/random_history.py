def random_history(seed): pass
