"""The items of the pretend portal's CRM. `crm_methods`, beside this room, has the methods that use them.

fields      which types of items there are, and which fields each has
contents    how a caller's fields become an item's values; phones and e-mails
items       an item made, kept, shown and compared
"""
