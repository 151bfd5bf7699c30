"""What can be wrong, and which is it?"""
