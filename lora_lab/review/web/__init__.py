"""What serves pages: the application, its checks, forms, thumbnails."""
