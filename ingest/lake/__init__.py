"""The lake: where files lie, how they get there, who waits for whom, and how tables read them."""
