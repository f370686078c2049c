package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

const (
	describeImages = "describe-images"
	manyImages     = 100_000
	imagesPage     = 1000
	pagesCompared  = 20 // the first and the last of them
)

// describe walks through all images of a large repository with DescribeImages
// and compares the last pages with the first.
func (b *bench) describe(ctx context.Context, t *table) error {
	p, err := b.start(ctx, berth, filepath.Join(b.dir, "data", "describe"))
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := b.load(ctx, p, 1, "-workload", "seed-images", "-count", strconv.Itoa(manyImages), "-conc", "32", "-timeout", "30m"); err != nil {
		return err
	}
	var first, last []float64
	for range b.rounds {
		pages, err := walk(ctx, p.api)
		if err != nil {
			return err
		}
		first = append(first, pages[:pagesCompared]...)
		last = append(last, pages[len(pages)-pagesCompared:]...)
	}
	name := fmt.Sprintf("%s, a page of %d of %d", describeImages, imagesPage, manyImages)
	t.note(name+", at the start", duration(median(first)))
	t.limit(name+", at the end, of that at the start", median(last)/median(first), 1.33, "x")
	return nil
}

// walk returns how long each page took, in microseconds.
func walk(ctx context.Context, c *ecr.Client) ([]float64, error) {
	var out []float64
	seen := 0
	pages := ecr.NewDescribeImagesPaginator(c, &ecr.DescribeImagesInput{RepositoryName: new("bench/many"), MaxResults: new(int32(imagesPage))})
	for pages.HasMorePages() {
		begin := time.Now()
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, float64(time.Since(begin).Microseconds()))
		seen += len(page.ImageDetails)
	}
	if seen != manyImages {
		return nil, fmt.Errorf("%s: %d images, want %d", describeImages, seen, manyImages)
	}
	return out, nil
}
