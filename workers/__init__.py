"""workers DELIVER AND REPAIR: they call the portals, reconcile uncertain deliveries, and repair what a crash left.

They never load Flask, never parse a rule and never see an unverified request.
"""
