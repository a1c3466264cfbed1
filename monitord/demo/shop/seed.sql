-- 4,000 customers, 1,500 products, 25,000 orders, 100,000 reviews; the same in every shop.
SELECT setseed(0.42);

INSERT INTO customers (email, name, city, password_hash, joined_at)
SELECT
    'customer' || n || '@shop.example',
    (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Alan', 'Radia', 'Ken', 'Margaret'])[1 + n % 8]
        || ' ' ||
    (ARRAY['Martin', 'Silva', 'Jansen', 'Sato', 'Novak', 'Okafor', 'Weber', 'Moreau', 'Kim'])[1 + n / 8 % 9],
    (ARRAY['Lisbon', 'Utrecht', 'Osaka', 'Brno', 'Lagos', 'Leipzig', 'Lyon', 'Busan'])[1 + n / 72 % 8],
    sha256(convert_to('customer' || n || '@shop.example:opensesame', 'UTF8')),
    now() - random() * interval '700 days'
FROM generate_series(1, 4000) AS n;

INSERT INTO categories (slug, title)
SELECT lower(title), title
FROM unnest(ARRAY[
    'Kitchen', 'Garden', 'Books', 'Tools', 'Toys', 'Lamps', 'Bicycles', 'Audio', 'Stationery', 'Outdoors'
]) AS title;

INSERT INTO products (category_id, title, description, price_cents, stock)
SELECT
    1 + n % 10,
    initcap(material || ' ' || thing) || ' No. ' || n,
    'A ' || material || ' ' || thing || ' for people who care about ' || virtue
        || '. Repairable, with spare parts for ten years. ' || repeat(virtue || ' ', 4 + n % 12),
    199 + (random() * random() * 40000)::int4,
    400 + (random() * 600)::int4
FROM generate_series(1, 1500) AS n,
LATERAL (
    SELECT
        (ARRAY['oak', 'steel', 'linen', 'copper', 'cork', 'glass', 'wool'])[1 + n % 7] AS material,
        (ARRAY['kettle', 'lantern', 'saddle', 'notebook', 'speaker', 'spade', 'puzzle', 'tent', 'radio'])[1 + n % 9] AS thing,
        (ARRAY['quiet', 'warmth', 'precision', 'rain', 'mornings'])[1 + n % 5] AS virtue
) AS words;

-- The last 250 customers have never ordered anything.
INSERT INTO orders (customer_id, total_cents, receipt, placed_at)
SELECT
    1 + (random() * 3749)::int4,
    0,
    'rc_' || md5(n::text),
    now() - random() * interval '365 days'
FROM generate_series(1, 25000) AS n;

INSERT INTO order_lines (order_id, product_id, quantity, price_cents)
SELECT
    orders.id,
    products.id,
    1 + orders.id % 3,
    products.price_cents
FROM orders
CROSS JOIN generate_series(0, 2) AS line
JOIN products ON products.id = 1 + (orders.id * 37 + line * 431) % 1500;

UPDATE orders
SET total_cents = sums.total_cents
FROM (
    SELECT order_id, sum(quantity * price_cents) AS total_cents
    FROM order_lines
    GROUP BY order_id
) AS sums
WHERE sums.order_id = orders.id;

INSERT INTO reviews (product_id, customer_id, rating, body, written_at)
SELECT
    1 + (random() * random() * 1499)::int4,
    1 + (random() * 3999)::int4,
    1 + (sqrt(random()) * 4)::int4,
    'I have used it for ' || (n % 40 + 1) || ' weeks. '
        || (ARRAY['Sturdy', 'Pretty', 'Heavier than expected', 'Arrived late', 'Would buy again'])[1 + n % 5]
        || '. ' || repeat('It does what it says. ', 2 + n % 6),
    now() - random() * interval '365 days'
FROM generate_series(1, 100000) AS n;

ANALYZE;
