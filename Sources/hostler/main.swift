print("hostler")
