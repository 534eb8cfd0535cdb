"""qmig inside Flower: the page Migrations, and qmig's own figures beside Flower's."""
