-- The shop's tables. The index that reviews(product_id) needs was forgotten, as it happens.
CREATE TABLE customers (
    id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    city text NOT NULL,
    password_hash bytea NOT NULL,
    joined_at timestamptz NOT NULL
);

CREATE TABLE categories (
    id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    title text NOT NULL
);

CREATE TABLE products (
    id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category_id int4 NOT NULL REFERENCES categories,
    title text NOT NULL,
    description text NOT NULL,
    price_cents int4 NOT NULL CHECK (price_cents > 0),
    stock int4 NOT NULL CHECK (stock >= 0)
);
CREATE INDEX ON products (category_id);

CREATE TABLE orders (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id int4 NOT NULL REFERENCES customers,
    total_cents int4 NOT NULL,
    receipt text,
    placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (customer_id, placed_at DESC);

CREATE TABLE order_lines (
    order_id int8 NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id int4 NOT NULL REFERENCES products,
    quantity int4 NOT NULL CHECK (quantity > 0),
    price_cents int4 NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE reviews (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id int4 NOT NULL REFERENCES products ON DELETE CASCADE,
    customer_id int4 NOT NULL REFERENCES customers,
    rating int2 NOT NULL CHECK (rating BETWEEN 1 AND 5),
    body text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
