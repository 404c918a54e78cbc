"""workers DELIVER AND REPAIR: they call the portals, find out what is uncertain, and mend what a crash left.

They never load Flask, never parse a rule and never see an unverified request.
"""
