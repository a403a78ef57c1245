"""The web page for sales and marketing: its serving snapshot, actions and pages."""
