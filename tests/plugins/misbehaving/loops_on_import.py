"""Never comes to what is to be called."""

while True:
    pass
