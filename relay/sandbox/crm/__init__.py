"""The CRM of the pretend portal: what it keeps, and in which shapes. Its methods are beside this room.

types       which types of items there are, and the names they go by
fields      which fields each type has
arguments   what a method is called with
contents    what a caller's fields come to, and how a portal refuses them
multifields phones, e-mails, links and messengers
phones      the form in which a phone or an e-mail is looked for
drafts      a new item with all that the portal writes itself
items       the items that there are
seeds       those that are there before any call
shapes      how an item is shown and compared
fired       the triggers that were fired
"""
